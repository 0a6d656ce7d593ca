"""Start programs, watch them, bound them, end them; nothing else in ALLiE starts one."""
