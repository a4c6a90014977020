"""iPhones and iPads, through Xcode's own tools."""
