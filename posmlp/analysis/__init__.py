"""From run folders to tables and figures. Everything here reads files; nothing is trained."""
