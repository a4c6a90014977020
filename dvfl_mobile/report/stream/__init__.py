"""What an artifact says of a stream, rendered: terminal, JSON lines, subtitles, and one page."""
