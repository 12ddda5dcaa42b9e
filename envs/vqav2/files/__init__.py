"""Readers of the original files: VQAv2, NLVR, SHAPES, COCO."""
