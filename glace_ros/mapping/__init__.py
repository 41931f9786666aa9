"""Posed images -> scene map."""
