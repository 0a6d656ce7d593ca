"""What others than root may try: users with directories of their own, stores, disks, images."""
