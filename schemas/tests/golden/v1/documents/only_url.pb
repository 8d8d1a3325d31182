
u