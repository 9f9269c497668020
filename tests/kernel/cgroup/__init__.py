"""Control groups do what the driver says, in whichever version this machine has, and leave nothing
behind."""
