
%https://news.example/2026/rain?page=1en2(
en20261122T045600Z0123456789abcdef:
	documentsÿÿÿÿÿÿÿÿÿÿÿÿ