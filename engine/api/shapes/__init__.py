"""Docker's JSON and the domain's values: parsing what is asked, and showing what there is."""
