"""dotpt under code that we do not own: `dotpt.patch_torch`, and the road of ``dotpt run``.

* `bindings`: a function replaced in every module that has it, and put back
* `patch`: the verb `patch_torch`             * `torch_patch`: what torch.save and torch.load become
* `run`: a program run as python runs it       * `children`: the patch for the processes that it starts
* `arrival`: something done as soon as a module is imported
"""
