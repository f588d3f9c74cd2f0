"""Results recorded elsewhere, imported into an ordinary sweep folder, with what is wrong with them said first."""
