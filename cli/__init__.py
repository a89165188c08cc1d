"""The prestream command, which runs steps of the pipeline for a person."""
