"""The prestream command: the same workflows for a person."""
