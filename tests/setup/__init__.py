"""How a PC begins: it joins a store, or is installed on an empty disk."""
