/* A program into which no library can be preloaded: built with -static. */
int main(void)
{
    return 0;
}
