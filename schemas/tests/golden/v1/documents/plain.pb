
%https://news.example/2026/rain?page=1Rain#It rained all day.
Then it stopped."eng