"""A router fitted from recorded outcomes: which model suffices for a call, by what can be seen of its prompt."""
