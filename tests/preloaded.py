"""What a process of the tests has imported already: see tests.processes."""

import gc

import transformers.models.bert.modeling_bert  # noqa: F401

import mmpt.cli.main
import mmpt.cli.training_display
import mmpt.evaluators.running
import mmpt.models.scorer
import mmpt.processors
import mmpt.training.session  # noqa: F401

# A collection in a forked process would write into every object, and so copy all of the memory that it shares.
gc.collect()
gc.freeze()
