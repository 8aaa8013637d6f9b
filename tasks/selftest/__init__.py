"""The gate tests itself: copies of a stored run are damaged in every known way, and each must be blocked."""
