"""Owner and source link of a leak."""
