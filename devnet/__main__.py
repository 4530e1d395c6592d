"""`python -m devnet`: serve the devnet. Settings come from the environment."""

from devnet.app import main

if __name__ == "__main__":
    main()
