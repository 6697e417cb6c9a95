"""`python -m fastchat` is the command line."""

from fastchat.cli import main

if __name__ == "__main__":
    main(prog_name="fastchat")
