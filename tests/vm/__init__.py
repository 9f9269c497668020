"""Boot a small virtual machine whose kernel knows cgroup v2 only, for the tests that need such a
kernel.

    tree.py     the machine's disk: an interpreter, this checkout, a few programs, their libraries
    boot.py     a distribution's kernel, the required modules in the order of loading, the initramfs
    guest/      what runs inside: init in the initramfs, session on the disk
    machine.py  run(command) → (exit status, output)

The machine is emulated in software, so that no /dev/kvm is needed; it has no network device. One
boot takes about four seconds, and Python runs some ten times slower than on the host: an image with
all files is faster than a shared directory, where each of the thousand files of an import would
cost a round trip out of the machine.
"""
