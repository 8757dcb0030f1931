"""The engine `pasta`: the real PaStA, run as processes in its own root."""
