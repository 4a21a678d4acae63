"""The original's names that are no classes: keys that its data sets read, and jobs."""

# Keys of a `dataset:` block that the original's data sets read, beside the fields of DatasetConfig and the `Options`
# of the classes that a file names. A file of the original may say one that its class here has no use for.
DATASET_KEYS = (
    *("json_path", "jsfusion_path", "full_test_path", "dup"),  # MSR-VTT
    *("trainval_annotation", "use_annotation_text"),  # YouCook2
    *("train_csv_path", "val_csv_path", "primary_path", "related_path", "annotation_path", "n_train"),  # CrossTask
    *("caption_pkl_path", "use_fast", "target_dir"),  # captions to token ids
)

# A stage that the original's project files name and that has never existed.
NEVER_WAS = ("vttcap.yaml",)

JOB_TYPES = {  # name -> processes; 0 for a prediction
    "local_single": 1,
    "local_small": 2,
    "local_big": 8,
    "local_predict": 0,
}
