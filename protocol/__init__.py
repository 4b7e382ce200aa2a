"""The words, numbers and rules that shops and head office share. Pure but for protocol.node."""
