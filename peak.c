#include <immintrin.h>
#include <stdio.h>
#include <time.h>
static double now(void){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec+1e-9*t.tv_nsec;}
int main(){
 __m512 a[12]; for(int i=0;i<12;i++)a[i]=_mm512_set1_ps(i); __m512 x=_mm512_set1_ps(1.0000001f),y=_mm512_set1_ps(1e-9f);
 for(int r=0;r<3;r++){double t=now();
 for(long n=0;n<20000000;n++){
 #pragma GCC unroll 12
 for(int i=0;i<12;i++)a[i]=_mm512_fmadd_ps(a[i],x,y);
 __asm__ volatile(""::"v"(a[0]));}
 t=now()-t; printf("512 fma/ns %.2f -> GMAC/s %.1f\n",20000000*12/t/1e9,20000000*12*16/t/1e9);}
 long c=0; double t=now(); for(long n=0;n<1000000000;n++){__asm__ volatile("add $1,%0":"+r"(c));} t=now()-t; printf("clock %.2f GHz\n",1/t);
 float s=0; for(int i=0;i<12;i++)s+=_mm512_reduce_add_ps(a[i]); printf("%g\n",s);
}
