"""Reading what containers have written, over all files of a log and as it comes."""
