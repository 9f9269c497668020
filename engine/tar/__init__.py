"""Read and write tar archives, for the drivers and for the command.

reader.py       reads archives that may be malicious
source.py       the archive's bytes and numbers
sparse.py       maps of sparse files
files.py        makes the files of an archive's entries
unpack.py       tar → directory, of a container or of the user
stream.py       directory → archive, in blocks
writer.py       writes headers as Docker does
compression.py  recognises and unpacks gzip, bzip2, xz, zstd

Imports ``filesystem``, ``runtime.linux`` and ``errors``, and ``zstandard`` for compression only.
"""
