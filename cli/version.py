"""The version of the command and of the release."""

VERSION = "0.1.0"
