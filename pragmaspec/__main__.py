"""``python -m pragmaspec``: the command."""

from pragmaspec.cli.app import main

if __name__ == "__main__":
    main()
