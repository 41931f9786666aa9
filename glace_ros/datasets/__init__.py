"""Published data sets, as their owners lay them out, and bags -> scene folders."""
