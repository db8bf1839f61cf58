"""What ends a training run in words that its user can act on.

    TrainerError
    ├── RecipeError       a recipe, a prompt file or a flag is wrong
    ├── CorpusError       the data cannot be read, lacks a column, or too little of it is left
    ├── BackboneError     the model cannot be had, or cannot be a policy
    ├── RunFolderError    the run folder holds something that must not be written over
    ├── ServiceTrouble    the reward service is not there, refuses, or stayed away for too long
    ├── Diverged          gradients are not finite any more; what was saved before is kept
    └── Stopped           SIGTERM came; what is done is kept

Nothing here is about a single candidate: that is data, see `clients`.
"""


class TrainerError(Exception):
    """Root of the tree; the message is for the user and needs no traceback."""


class RecipeError(TrainerError):
    pass


class CorpusError(TrainerError):
    pass


class BackboneError(TrainerError):
    pass


class RunFolderError(TrainerError):
    pass


class ServiceTrouble(TrainerError):
    pass


class Stopped(TrainerError):
    pass


class Diverged(TrainerError):
    pass
