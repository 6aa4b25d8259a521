"""Ctrl-C at a known moment."""


class Interrupt:
    """Progress callback that presses Ctrl-C when so much of a stage is done, and notes stages.

    Args:
        after: How much of the stage.
        stage: Its name; None for any.
    """

    def __init__(self, after, stage=None):
        self.after, self.stage, self.stages = after, stage, []

    def __call__(self, stage, done, total):
        self.stages.append(stage)
        if done == self.after and self.stage in (None, stage):
            raise KeyboardInterrupt
