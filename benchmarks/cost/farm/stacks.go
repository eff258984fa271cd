package main

// levels is a binary tree of calls: each level calls one of the two functions of the next, as the next bit of path
// says, so that each path is a stack of its own: depth+1 functions, no recursion, of which the last parks.
var levels [depth + 1][2]func(path int)

const depth = 14

func init() { // by hand, as the functions refer to the table
	levels = [...][2]func(int){
		{left0, right0}, {left1, right1}, {left2, right2}, {left3, right3}, {left4, right4},
		{left5, right5}, {left6, right6}, {left7, right7}, {left8, right8}, {left9, right9},
		{left10, right10}, {left11, right11}, {left12, right12}, {left13, right13}, {park, park},
	}
}

func left0(path int)   { levels[1][path&1](path >> 1) }
func right0(path int)  { levels[1][path&1](path >> 1) }
func left1(path int)   { levels[2][path&1](path >> 1) }
func right1(path int)  { levels[2][path&1](path >> 1) }
func left2(path int)   { levels[3][path&1](path >> 1) }
func right2(path int)  { levels[3][path&1](path >> 1) }
func left3(path int)   { levels[4][path&1](path >> 1) }
func right3(path int)  { levels[4][path&1](path >> 1) }
func left4(path int)   { levels[5][path&1](path >> 1) }
func right4(path int)  { levels[5][path&1](path >> 1) }
func left5(path int)   { levels[6][path&1](path >> 1) }
func right5(path int)  { levels[6][path&1](path >> 1) }
func left6(path int)   { levels[7][path&1](path >> 1) }
func right6(path int)  { levels[7][path&1](path >> 1) }
func left7(path int)   { levels[8][path&1](path >> 1) }
func right7(path int)  { levels[8][path&1](path >> 1) }
func left8(path int)   { levels[9][path&1](path >> 1) }
func right8(path int)  { levels[9][path&1](path >> 1) }
func left9(path int)   { levels[10][path&1](path >> 1) }
func right9(path int)  { levels[10][path&1](path >> 1) }
func left10(path int)  { levels[11][path&1](path >> 1) }
func right10(path int) { levels[11][path&1](path >> 1) }
func left11(path int)  { levels[12][path&1](path >> 1) }
func right11(path int) { levels[12][path&1](path >> 1) }
func left12(path int)  { levels[13][path&1](path >> 1) }
func right12(path int) { levels[13][path&1](path >> 1) }
func left13(path int)  { levels[14][path&1](path >> 1) }
func right13(path int) { levels[14][path&1](path >> 1) }

func park(int) { select {} }
