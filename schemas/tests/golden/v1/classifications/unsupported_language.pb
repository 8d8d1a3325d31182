
%https://news.example/2026/rain?page=1ckb:
	documents