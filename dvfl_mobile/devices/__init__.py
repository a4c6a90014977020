"""Where artifacts run: this machine, a phone, an emulated Arm core; each found by a name such as `android:SERIAL`."""
