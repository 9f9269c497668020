"""Convert the body of a create or update request to the domain's Spec, and back for inspect."""
