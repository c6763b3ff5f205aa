/* A program that no library can be preloaded into: built with -static. */
int main(void)
{
    return 0;
}
