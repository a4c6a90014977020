"""Android devices, through adb."""
