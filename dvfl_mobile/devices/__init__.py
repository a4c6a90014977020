"""Where artifacts run: this machine, a phone, an emulated Arm core. Each is found by a name such as `android:SERIAL`."""
