"""The main job on real pretrained weights, without torch: `make demo`."""
