"""Pages of runs: one file each, which loads nothing, for both themes and all widths. See docs/report.md."""
