"""Run the `mmpt` command as `python -m mmpt`."""

import sys

from mmpt.cli.main import main

sys.exit(main())
