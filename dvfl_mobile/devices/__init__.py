"""Devices that artifacts run on: this machine, phones and emulated Arm cores, named such as `android:SERIAL`."""
