"""Read and write tar archives.

reader.py       reads archives that may be malicious
source.py       the archive's bytes and numbers
sparse.py       maps of sparse files
files.py        makes the files of an archive's entries
stream.py       directory → archive, in blocks
writer.py       writes headers as Docker does
compression.py  recognises and unpacks gzip, bzip2, xz, zstd
"""
