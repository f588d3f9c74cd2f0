"""Results recorded elsewhere, as the cells of a sweep, with what is wrong with them."""
