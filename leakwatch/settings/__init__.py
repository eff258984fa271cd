"""Reading of settings from YAML: types, files and error messages."""
