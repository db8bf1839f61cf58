"""v_ans: is the final answer right?"""
