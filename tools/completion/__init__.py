"""Completion of the command line for bash, zsh and fish, made when a package is built."""
