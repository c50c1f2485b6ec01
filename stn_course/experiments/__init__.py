"""Named runs, their records, and every table and figure made of them."""
