"""What is written for a PC to read: allie.conf, and the headers of conf scripts."""
