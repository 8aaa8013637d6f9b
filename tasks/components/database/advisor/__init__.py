"""The index advisor: from statements to indexes that were tried before anyone is asked to build them."""
